-- With brackets that close themselves, a suggestion that has them too does not double them: when it
-- comes between them, when they are typed along, and when the closing one is typed over.

local AUTOPAIRS = [[
  vim.keymap.set('i', '(', '()<C-g>U<Left>')
  vim.keymap.set('i', ')', function()
    local column = vim.fn.col('.')
    return vim.fn.getline('.'):sub(column, column) == ')' and '<C-g>U<Right>' or ')'
  end, { expr = true })
]]

return function(session)
  session:lua(AUTOPAIRS)
  session:lua('fake(...)', { items = { 'print(a, b)' } })
  session:open('a.py', '')
  session:type('ip')
  session:wait_for_text('rint(a, b)')
  -- The server is stopped: what is kept is kept without it.
  local pid = vim.api.nvim_get_proc_children(session.pid)[1]
  vim.uv.kill(pid, 'sigstop')
  session:type('rint(')
  session:wait_for_lines({ 'print()' })
  session:wait_for_text('a, b')
  session:type('<Tab>')
  session:wait_for_lines({ 'print(a, b)' })
  session:equal_cursor(0, 11)
  vim.uv.kill(pid, 'sigcont')

  -- Typed over.
  session:type('<Esc>ccprint(a')
  session:wait_for_lines({ 'print(a)' })
  session:wait_for_text(', b')
  session:type(', b)')
  session:wait_for_lines({ 'print(a, b)' })
  session:equal_cursor(0, 11)
  session.equal(session:ghost(), false, 'the ghost when all is typed')

  -- By words, inside the brackets.
  session:type('<Esc>ccprint(')
  session:wait_for_text('a, b')
  for _, text in ipairs({ 'print(a)', 'print(a,)', 'print(a, b)' }) do
    session:type('<M-Right>')
    session:wait_for_lines({ text })
  end
  session:equal_cursor(0, 11)
end
