"""The book's machinery: building, executing and checking the chapters beside this file."""
