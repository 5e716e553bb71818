[
  (c_style_for_statement)
  (case_item)
  (case_statement)
  (declaration_command)
  (for_statement)
  (function_definition)
  (if_statement)
  (unset_command)
  (while_statement)
] @statement

; The rest are also parts of pipelines, of lists and of one another: they are statements where they
; stand directly in a body. (In an `if`, so does the condition, a command like any other.)
(program
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(case_item
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(compound_statement
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(do_group
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(elif_clause
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(else_clause
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(if_statement
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(subshell
  [(command) (list) (negated_command) (pipeline) (redirected_statement) (subshell) (test_command)
   (variable_assignment) (variable_assignments)] @statement)
(ERROR
  [(command) (list) (pipeline) (redirected_statement) (variable_assignment)] @statement)
