[
  (associated_type name: (_) @name)
  (const_item name: (_) @name)
  (enum_item name: (_) @name)
  (enum_variant name: (_) @name)
  (field_declaration name: (_) @name)
  (function_item name: (_) @name)
  (function_signature_item name: (_) @name)
  (macro_definition name: (_) @name)
  (mod_item name: (_) @name)
  (static_item name: (_) @name)
  (struct_item name: (_) @name)
  (trait_item name: (_) @name)
  (type_item name: (_) @name)
  (union_item name: (_) @name)
] @symbol

; An implementation goes by the type that it is for.
(impl_item type: (type_identifier) @name) @symbol

(impl_item
  type: (generic_type type: (type_identifier) @name)) @symbol
