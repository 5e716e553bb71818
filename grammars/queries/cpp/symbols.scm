; inherits: c

(class_specifier name: (_) @name body: (_)) @symbol

(namespace_definition name: (_) @name) @symbol

(alias_declaration name: (_) @name) @symbol

(concept_definition name: (_) @name) @symbol

; Members inside the class, members defined outside of it, destructors and operators.
(function_definition
  declarator: (function_declarator
    declarator: [
      (destructor_name)
      (field_identifier)
      (operator_name)
      (qualified_identifier)
    ] @name)) @symbol

(function_definition
  declarator: (pointer_declarator
    declarator: (function_declarator
      declarator: [(field_identifier) (qualified_identifier)] @name))) @symbol

(function_definition
  declarator: (reference_declarator
    (function_declarator
      declarator: [
        (field_identifier)
        (identifier)
        (operator_name)
        (qualified_identifier)
      ] @name))) @symbol

; A method that is only declared in the class.
(field_declaration
  declarator: (function_declarator
    declarator: [(field_identifier) (operator_name)] @name)) @symbol
