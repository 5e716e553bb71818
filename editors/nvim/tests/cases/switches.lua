-- :Infill disable and enable: everywhere, for a language, for a buffer. Off, no question leaves Neovim.

local function questions(session)
  return #session:lua([[return got('log', 'textDocument/inlineCompletion')]])
end

local function is_on(session)
  session:type('ccva')
  session:wait_for_text('lue = 1')
  session:escape()
end

local function is_off(session, words)
  local before = questions(session)
  session:type('ccva')
  session:wait_for_lines({ 'va' })
  vim.wait(300)
  session.equal(session:ghost(), false, 'the ghost when ' .. words)
  session.equal(questions(session), before, 'questions when ' .. words)
  session.equal(session:lua([[return require('infill').statusline()]]), 'Infill off: ' .. words, 'the status line')
  session:escape()
end

return function(session)
  session:lua('fake(...)', { items = { 'value = 1' }, log = 'log' })
  session:open('a.py', '')
  is_on(session)
  for _, way in ipairs({
    { 'disable', 'enable', 'everywhere' },
    { 'disable python', 'enable python', 'python' },
    { 'disable!', 'enable!', 'this buffer' },
  }) do
    local function infill(command)
      local name, bang, argument = command:match('^(%a+)(!?) ?(.*)$')
      session:lua(
        [[
        local name, bang, argument = ...
        vim.cmd.Infill({ args = { name, argument ~= '' and argument or nil }, bang = bang == '!' })
      ]],
        name,
        bang,
        argument
      )
    end
    infill(way[1])
    is_off(session, way[3])
    infill(way[2])
    is_on(session)
  end
  local changes = session:lua([[return got('log', 'workspace/didChangeConfiguration')]])
  local last = changes[#changes][2].settings.infill
  session.equal(last, { enabled = true, languages = { python = true } }, 'what the server was told')
end
