; Braces included.
[
  (block)
  (declaration_list)
  (enum_variant_list)
  (field_declaration_list)
  (match_block)
] @block
