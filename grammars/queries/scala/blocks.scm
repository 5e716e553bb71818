; Braces included where they are written; Scala 3 also has bodies by indentation.
[
  (block)
  (case_block)
  (enum_body)
  (indented_block)
  (indented_cases)
  (template_body)
  (with_template_body)
] @block
