-- :Infill why shows the last question in a split, and :Infill status and log say theirs.

return function(session)
  session:lua('fake(...)', { items = { 'value = 1' } })
  session:open('a.py', '')
  session:lua([[vim.cmd('Infill why')]])
  session:becomes({ 'Infill: nothing was asked in this file yet' }, function()
    return session:lua('return _G.said')
  end, 'what was said')
  session:type('iv')
  session:wait_for_text('alue = 1')
  session:escape()
  session:lua([[vim.cmd('Infill why')]])
  local text = session:eventually('the split', function()
    return session:lua([[
      local buffer = vim.fn.bufnr('infill://why')
      return buffer ~= -1 and table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, true), '\n')
    ]])
  end)
  for _, part in ipairs({ 'a.py, line 1, column 2', 'decision: shown', 'timings_ms', 'the answer', 'the [MASK] of it' }) do
    assert(text:find(part, 1, true), part .. ' is not in\n' .. text)
  end
  session.equal(session:lua('return #vim.api.nvim_list_wins()'), 2, 'windows')
  session.equal(session:lua('return vim.fs.basename(vim.api.nvim_buf_get_name(0))'), 'a.py', 'where the cursor is')

  session:lua([[_G.said = {} vim.cmd('Infill status')]])
  local said = session:eventually('the status', function()
    return session:lua('return _G.said[1] or false')
  end)
  session.equal(
    said,
    'Infill 0.0.0: ready\nmodel: fake-1\nthis file: on\nsuggestions: 3 shown, 2 accepted, 1 kept',
    'the status'
  )

  session:lua([[vim.cmd('Infill log')]])
  assert(session:lua('return vim.api.nvim_buf_get_name(0)'):find('lsp%.log$'), 'the log')
  session.equal(
    session:lua([[return vim.fn.getcompletion('Infill en', 'cmdline')]]),
    { 'enable' },
    'completion of the command'
  )
  session.equal(
    session:lua([[return vim.fn.getcompletion('Infill disable pytho', 'cmdline')]]),
    { 'python', 'python2' },
    'completion of a language'
  )
end
