; Unanchored, so that statements are still found inside an ERROR node.
[
  (at_rule)
  (charset_statement)
  (declaration)
  (import_statement)
  (keyframe_block)
  (keyframes_statement)
  (media_statement)
  (namespace_statement)
  (rule_set)
  (scope_statement)
  (supports_statement)
] @statement
