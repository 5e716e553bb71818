-- A file of 20,000 lines: ghost text comes in its middle, and goes in.

return function(session)
  local text = session.read('tests/data/try/shapes.py')
  local lines = #vim.split(text, '\n') - 1
  session:open('large.py', text:rep(math.ceil(20000 / lines)))
  assert(#session:lines() >= 20000, 'the file is large')
  local row = session:lua([[return vim.fn.search('return math.pi', 'n') - 1]]) + lines * math.floor(10000 / lines)
  session.equal(session:lines()[row + 1], '        return math.pi * self.radius * self.radius', 'the line')
  session:cut(row, 15)
  local ghost = session:ask_at(row, 15) or session:wait_for_ghost()
  session:accept()
  session.equal(session:lines()[row + 1], '        return ' .. ghost.text:match('^[^\n]*'), 'the line after accepting')
end
