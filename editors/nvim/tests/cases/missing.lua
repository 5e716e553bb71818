-- A server that is not there, or ends at once, is said once in words that help; typing goes on.

return function(session)
  session:lua([[require('infill').setup({ cmd = { '/nowhere/infill', 'lsp' } })]])
  session:edit('a.py', '')
  session:edit('b.py', '')
  session:type('ix = 1')
  session:wait_for_lines({ 'x = 1' })
  local said = session:lua('return _G.said')
  session.equal(#said, 1, 'how often it was said: ' .. vim.inspect(said))
  assert(said[1]:find("'/nowhere/infill' is not on the PATH", 1, true), said[1])
  session:escape()

  session:lua([[_G.said = {} require('infill').setup({ cmd = { 'false' } })]])
  vim.wait(1200)
  said = session:lua('return _G.said')
  session.equal(#said, 1, 'how often it was said: ' .. vim.inspect(said))
  assert(said[1]:find('the server ended with status 1', 1, true), said[1])
end
