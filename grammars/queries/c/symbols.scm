; A function's name is inside its declarator, under one more for each star of its return type.
(function_definition
  declarator: (function_declarator
    declarator: (identifier) @name)) @symbol

(function_definition
  declarator: (pointer_declarator
    declarator: (function_declarator
      declarator: (identifier) @name))) @symbol

(function_definition
  declarator: (pointer_declarator
    declarator: (pointer_declarator
      declarator: (function_declarator
        declarator: (identifier) @name)))) @symbol

(struct_specifier name: (_) @name body: (_)) @symbol

(union_specifier name: (_) @name body: (_)) @symbol

(enum_specifier name: (_) @name body: (_)) @symbol

(enumerator name: (identifier) @name) @symbol

(type_definition declarator: (type_identifier) @name) @symbol

(field_declaration declarator: (field_identifier) @name) @symbol

(preproc_def name: (identifier) @name) @symbol

(preproc_function_def name: (identifier) @name) @symbol
