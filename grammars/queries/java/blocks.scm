; Braces included.
[
  (annotation_type_body)
  (block)
  (class_body)
  (constructor_body)
  (enum_body)
  (interface_body)
  (module_body)
  (switch_block)
] @block
