[
  (extern_crate_declaration)
  (use_declaration)
] @import

; `mod name;` brings in a file.
(mod_item !body) @import
