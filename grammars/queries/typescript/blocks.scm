; inherits: ecma

[
  (enum_body)
  (interface_body)
] @block

; The members of `type Name = { … }`.
(type_alias_declaration value: (object_type) @block)
