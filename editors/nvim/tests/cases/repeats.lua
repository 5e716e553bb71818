-- What stands for several cursors in Neovim: `.` repeats an insertion with what was accepted in it, on
-- every line it is given; a macro never meets a suggestion, so its keys mean the same each time.

return function(session)
  session:lua('fake(...)', { items = { 'total = total + 1' } })
  session:open('a.py', 'one\ntwo\nthree')
  session:type('Oto')
  session:wait_for_text('tal = total + 1')
  session:type('<Tab>')
  session:wait_for_lines({ 'total = total + 1', 'one', 'two', 'three' })
  session:escape()
  session:type('jj.')
  session:wait_for_lines({ 'total = total + 1', 'one', 'total = total + 1', 'two', 'three' })
  session:lua('vim.cmd.undo()')

  session:lua('vim.bo.expandtab, vim.bo.softtabstop = false, 0')
  session:type('Gqaoto')
  vim.wait(400)
  session.equal(session:ghost(), false, 'the ghost while recording')
  session:type('<Tab><Esc>q@a')
  session:becomes({ 'to\t', 'to\t' }, function()
    return vim.list_slice(session:lines(), 5)
  end, 'what the macro wrote')
end
