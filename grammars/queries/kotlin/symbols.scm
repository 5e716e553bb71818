[
  (class_declaration name: (_) @name)
  (companion_object name: (_) @name)
  (function_declaration name: (_) @name)
  (object_declaration name: (_) @name)
] @symbol

(type_alias type: (identifier) @name) @symbol

(enum_entry (identifier) @name) @symbol

(property_declaration
  (variable_declaration (identifier) @name)) @symbol

; A property declared in the head of a class.
(class_parameter ["val" "var"] (identifier) @name) @symbol
