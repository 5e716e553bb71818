(function_declaration name: (identifier) @name) @symbol

(method_declaration name: (field_identifier) @name) @symbol

(method_elem name: (field_identifier) @name) @symbol

(field_declaration name: (field_identifier) @name) @symbol

(type_declaration
  [
    (type_alias name: (type_identifier) @name)
    (type_spec name: (type_identifier) @name)
  ]) @symbol

(source_file
  (const_declaration
    (const_spec name: (identifier) @name) @symbol))

(source_file
  (var_declaration
    (var_spec name: (identifier) @name) @symbol))

(source_file
  (var_declaration
    (var_spec_list
      (var_spec name: (identifier) @name) @symbol)))
