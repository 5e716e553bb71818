-- Taking back what was typed along brings the longer rest back, and typing something else hides it at
-- once, before any answer.

return function(session)
  session:lua('fake(...)', { items = { 'result = compute()' }, log = 'log' })
  session:open('a.py', '')
  session:type('ire')
  session:wait_for_text('sult = compute()')
  session:type('su')
  session:wait_for_text('lt = compute()')
  session:type('<BS>')
  session:wait_for_text('ult = compute()')
  session:type('<BS><BS>')
  session:wait_for_text('esult = compute()')

  -- The server is stopped, so nothing that is seen now comes from an answer.
  local pid = vim.api.nvim_get_proc_children(session.pid)[1]
  vim.uv.kill(pid, 'sigstop')
  session:type('x')
  session:wait_for_text(false)
  session:wait_for_lines({ 'rx' })
  session:type('<Tab>')
  session:eventually('a tab', function()
    return session:lines()[1]:match('^rx%s+$')
  end)
  vim.uv.kill(pid, 'sigcont')
end
