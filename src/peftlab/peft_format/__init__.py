"""How adapters stand in the files of Hugging Face PEFT: a module for each family of methods."""
