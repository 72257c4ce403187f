"""Many pictures: the data set, the workers, and the journal that a run resumes from."""
