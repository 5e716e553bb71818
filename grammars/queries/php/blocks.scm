; Braces included; `colon_block` is the body of the `if: … endif;` forms.
[
  (colon_block)
  (compound_statement)
  (declaration_list)
  (enum_declaration_list)
  (match_block)
  (property_hook_list)
  (switch_block)
] @block
