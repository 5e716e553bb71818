; Unanchored where a node can only be a statement, so that it is still found in an ERROR node.
[
  (attributed_statement)
  (break_statement)
  (case_statement)
  (continue_statement)
  (do_statement)
  (for_statement)
  (goto_statement)
  (if_statement)
  (labeled_statement)
  (return_statement)
  (switch_statement)
  (while_statement)
] @statement

; A semicolon alone says nothing.
(expression_statement . (_)) @statement

[
  (field_declaration)
  (function_definition)
  (linkage_specification)
  (preproc_call)
  (preproc_def)
  (preproc_function_def)
  (preproc_include)
  (type_definition)
] @statement

(enumerator_list (enumerator) @statement)

; A declaration is also the head of a `for`, which is no statement.
(translation_unit (declaration) @statement)
(compound_statement (declaration) @statement)
(declaration_list (declaration) @statement)
(case_statement (declaration) @statement)
(labeled_statement (declaration) @statement)
(preproc_if (declaration) @statement)
(preproc_ifdef (declaration) @statement)
(preproc_else (declaration) @statement)
(preproc_elif (declaration) @statement)
(ERROR (declaration) @statement)

; A type with a body and no variable: `struct point { … };`.
(translation_unit [(enum_specifier) (struct_specifier) (union_specifier)] @statement)
(declaration_list [(enum_specifier) (struct_specifier) (union_specifier)] @statement)
(compound_statement [(enum_specifier) (struct_specifier) (union_specifier)] @statement)
(preproc_if [(enum_specifier) (struct_specifier) (union_specifier)] @statement)
(preproc_ifdef [(enum_specifier) (struct_specifier) (union_specifier)] @statement)
