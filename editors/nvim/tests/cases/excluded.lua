-- A file that holds secrets has no ghost text, and the status line says why; other files still have
-- theirs.

return function(session)
  local function statusline()
    return session:lua([[return require('infill').statusline()]])
  end
  local function has_time()
    return statusline():match('^Infill %d+ ms$')
  end
  session:open_example('shapes.py')
  session:resume_soon()
  session:eventually('the time of an answer', has_time)
  session:escape()
  session:lua('vim.cmd.write()')

  session:edit('.env', 'SECRET=1\n')
  local words = session:eventually('the reason', function()
    return statusline():match('^Infill off: (.*)')
  end)
  assert(words:find('.env', 1, true) and words:find('secrets', 1, true), words)
  session:type('oSECRET=')
  vim.wait(400)
  session.equal(session:ghost(), false, 'the ghost')
  session:escape()
  session:lua('vim.cmd.write()')

  session:lua('vim.cmd.edit("shapes.py")')
  session:eventually('the first file', has_time)
end
