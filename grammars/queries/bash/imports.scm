; `source file` and `. file`.
(command
  name: (command_name) @_source
  (#any-of? @_source "source" ".")) @import
