// The target of the documentation catalogue, Kvlab.docc, which `make docs` builds. It has no code.
