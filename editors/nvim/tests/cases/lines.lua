-- The key for lines takes the rest of the line, then a line at a time.

return function(session)
  session:lua('fake(...)', { items = { 'def f(x):\n    y = x + 1\n    return y' } })
  session:open('a.py', '')
  session:type('idef')
  session:wait_for_text(' f(x):\n    y = x + 1\n    return y')
  session:type('<M-C-Right>')
  session:wait_for_lines({ 'def f(x):' })
  session:wait_for_text('\n    y = x + 1\n    return y')
  session:type('<M-C-Right>')
  session:wait_for_lines({ 'def f(x):', '    y = x + 1' })
  session:wait_for_text('\n    return y')
  session:type('<M-C-Right>')
  session:wait_for_lines({ 'def f(x):', '    y = x + 1', '    return y' })
  session:wait_for_text(false)
  session:equal_cursor(2, 12)
end
