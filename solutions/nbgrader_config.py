"""Settings of an nbgrader course with these labs: copy this file into the course's folder."""

# nbgrader runs this file and defines get_config.
c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "peft"
# What a learner finds in place of an answer: the same as in labs/.
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("your code here")'}
c.ClearSolutions.text_stub = "*Write your answer here, in place of this line.*"
# Seconds for one cell. nbgrader's own 30 are too few for training on a busy machine.
c.ExecutePreprocessor.timeout = 600
