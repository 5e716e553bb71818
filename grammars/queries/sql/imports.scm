; SQL has no imports: what other files define is simply there.
