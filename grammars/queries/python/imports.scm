[
  (future_import_statement)
  (import_from_statement)
  (import_statement)
] @import
