; Braces included; the body of a `switch` is a compound statement too.
[
  (compound_statement)
  (declaration_list)
  (enumerator_list)
  (field_declaration_list)
] @block
