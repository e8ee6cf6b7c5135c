"""Other tests share the machine: an example may take as long as it takes."""

from hypothesis import settings

settings.register_profile("pgqueue", deadline=None)
settings.load_profile("pgqueue")
