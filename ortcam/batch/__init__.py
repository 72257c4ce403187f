"""Many pictures: the data set, the workers, and the journal from which a run resumes."""
