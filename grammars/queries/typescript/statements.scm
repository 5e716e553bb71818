; inherits: ecma

[
  (abstract_class_declaration)
  (ambient_declaration)
  (enum_declaration)
  (function_signature)
  (import_alias)
  (interface_declaration)
  (module)
  (type_alias_declaration)
] @statement

; A namespace without `export` is parsed as an expression statement, which is one already.
(export_statement (internal_module) @statement)

; Members of classes, interfaces and enums.
[
  (abstract_method_signature)
  (enum_assignment)
  (public_field_definition)
] @statement

(class_body [(index_signature) (method_signature)] @statement)

(interface_body
  [
    (call_signature)
    (construct_signature)
    (index_signature)
    (method_signature)
    (property_signature)
  ] @statement)

(object_type
  [
    (call_signature)
    (index_signature)
    (method_signature)
    (property_signature)
  ] @statement)
