-- A Neovim that is typed into, with init.lua as its user's configuration.
--
-- Takes keys and gives what a person would see: the buffer, the ghost text, the screen. Rows and
-- columns are 0-based and columns are bytes, as in Neovim's own functions.

local Session = {}
Session.__index = Session

-- Longest wait for one thing, in ms. Everything here takes well under a second on a quiet machine.
local PATIENCE = 30000

--- Starts Neovim, configured by the init.lua of the folder `way`, with an empty folder to work in.
function Session.start(way)
  local self = setmetatable({ way = way, folder = vim.fn.tempname() }, Session)
  vim.fn.mkdir(self.folder, 'p')
  local init = vim.fn.fnamemodify(way .. '/init.lua', ':p')
  local command = { vim.v.progpath, '--clean', '-n', '--embed', '--headless', '-u', init }
  -- Neovim's own logs and state go to the session's folder, not to the user's.
  local env = {}
  for _, name in ipairs({ 'XDG_STATE_HOME', 'XDG_DATA_HOME', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME' }) do
    env[name] = self.folder .. '/.xdg'
  end
  self.channel = vim.fn.jobstart(command, { rpc = true, cwd = self.folder, env = env })
  self.pid = vim.fn.jobpid(self.channel)
  self:lua([[
    vim.o.lines, vim.o.columns = 40, 120
    vim.api.nvim_create_autocmd('LspRequest', {
      callback = function(event)
        local request = event.data.request
        if request.method == 'textDocument/inlineCompletion' and request.type ~= 'cancel' then
          local count = request.type == 'pending' and 'begun' or 'ended'
          _G.requests[count] = _G.requests[count] + 1
        end
      end,
    })
  ]])
  self:forget_requests()
  return self
end

--- Those of a server that was killed never end.
function Session:forget_requests()
  self:lua('_G.requests = { begun = 0, ended = 0 }')
end

--- Ends Neovim, if a case has not, and removes its folder. A server that hangs, as some cases want it
--- to, is ended as well.
function Session:stop()
  local servers = vim.api.nvim_get_proc_children(self.pid)
  pcall(vim.rpcnotify, self.channel, 'nvim_command', 'qall!')
  if vim.fn.jobwait({ self.channel }, 5000)[1] == -1 then
    vim.fn.jobstop(self.channel)
  end
  for _, pid in ipairs(servers) do
    vim.uv.kill(pid, 'sigkill')
  end
  vim.fn.delete(self.folder, 'rf')
end

--- Runs Lua in the Neovim under test; arguments are `...` there.
function Session:lua(code, ...)
  return vim.rpcrequest(self.channel, 'nvim_exec_lua', code, { ... })
end

--- Waits until `look` gives something, and gives that.
function Session:eventually(what, look)
  local seen
  local came = vim.wait(PATIENCE, function()
    seen = look()
    return seen
  end, 20)
  return came and seen or error('never came: ' .. what, 2)
end

--- Waits until `look` gives what is expected; says what it gave last if that never comes.
function Session:becomes(expected, look, what)
  local seen
  local came = vim.wait(PATIENCE, function()
    seen = look()
    return vim.deep_equal(seen, expected)
  end, 20)
  if not came then
    error(
      ('%s never was as expected\nexpected: %s\nseen:     %s'):format(what, vim.inspect(expected), vim.inspect(seen)),
      2
    )
  end
end

--- Opens a file of this name with this text, and waits for a server that is ready.
function Session:open(name, text)
  self:edit(name, text)
  self:wait_until_ready()
end

--- Opens a file of this name with this text.
function Session:edit(name, text)
  local path = vim.fs.joinpath(self.folder, name)
  vim.fn.writefile(vim.split(text, '\n', { plain = true }), path, 'b')
  self:lua('vim.cmd.edit(vim.fn.fnameescape(...))', path)
end

--- Waits for a server that has loaded its model.
function Session:wait_until_ready()
  self:eventually('a server that is ready', function()
    return self:lua([[
      local client = vim.lsp.get_clients({ name = 'infill', bufnr = 0 })[1]
      if not client or not client.initialized then return false end
      local function ask(...)
        -- Functions of a client are methods since 0.11.
        return vim.fn.has('nvim-0.11') == 1 and client:request_sync(...) or client.request_sync(...)
      end
      local answer = ask('infill/status', vim.empty_dict(), 5000, 0)
      return answer and answer.result and answer.result.state == 'ready'
    ]])
  end)
end

--- Opens a copy of one of the files in tests/data/try.
function Session:open_example(name)
  self:open(name, Session.read('tests/data/try/' .. name))
end

--- The text of a file; the tests run in the repository's root.
function Session.read(path)
  return (table.concat(vim.fn.readfile(path, 'b'), '\n'))
end

--- Goes into insert mode at this place.
function Session:insert_at(row, column)
  self:lua(
    [[
    vim.cmd.stopinsert()
    vim.api.nvim_win_set_cursor(0, { ... })
  ]],
    row + 1,
    math.max(column - 1, 0)
  )
  self:type(column == 0 and 'i' or 'a')
  self:eventually('insert mode', function()
    return self:lua('return vim.api.nvim_get_mode().mode') == 'i'
  end)
end

--- Cuts a line at this column; gives its text of before.
function Session:cut(row, column)
  return self:lua(
    [[
    local row, column = ...
    local line = vim.api.nvim_buf_get_lines(0, row, row + 1, true)[1]
    vim.api.nvim_buf_set_lines(0, row, row + 1, true, { line:sub(1, column) })
    return line
  ]],
    row,
    column
  )
end

--- Goes into insert mode at this place and waits until Neovim has asked and has its answer. Gives the
--- ghost text, or false if there is none: which places have one is the model's affair.
function Session:ask_at(row, column)
  local function requests()
    return self:lua('return _G.requests')
  end
  local before = requests().begun
  self:insert_at(row, column)
  self:eventually('an answer', function()
    local now = requests()
    return now.begun > before and now.ended == now.begun
  end)
  -- A cursor that comes to rest late makes Neovim ask once more, 200 ms after that.
  vim.wait(250)
  self:eventually('the last answer', function()
    local now = requests()
    return now.ended == now.begun
  end)
  return self:ghost()
end

--- Places in the middle of lines of code, behind a blank, a dot or an open bracket; `count` of them,
--- spread over the buffer.
function Session:places(count)
  local found = {}
  for row, line in ipairs(self:lines()) do
    local start = #line:match('^%s*')
    for column in line:gmatch('[ .(]()%w') do
      if column - 1 > start + 2 then
        table.insert(found, { row = row - 1, column = column - 1 })
        break
      end
    end
  end
  local step = math.max(1, #found / count)
  local chosen = {}
  for place = #found, 1, -step do
    table.insert(chosen, found[math.floor(place)])
  end
  return chosen
end

--- Cuts a line at a place that then has a ghost text that is `wanted`, and stays in insert mode
--- there. Gives the ghost text.
function Session:resume(wanted)
  for _, place in ipairs(self:places(40)) do
    local line = self:cut(place.row, place.column)
    local ghost = self:ask_at(place.row, place.column)
    if ghost and (not wanted or wanted(ghost)) then
      return ghost
    end
    self:escape()
    self:lua(
      [[
      local row, line = ...
      vim.api.nvim_buf_set_lines(0, row, row + 1, true, { line })
    ]],
      place.row,
      line
    )
  end
  error('no place has a suggestion', 2)
end

--- As resume() in shapes.py, at once where a ghost has come so far.
function Session:resume_soon()
  local line = self:cut(41, 17)
  local ghost = self:ask_at(41, 17)
  if ghost then
    return ghost
  end
  self:escape()
  self:lua('vim.api.nvim_buf_set_lines(0, 41, 42, true, { ... })', line)
  return self:resume()
end

--- Presses keys, in the notation of mappings.
function Session:type(keys)
  vim.rpcrequest(self.channel, 'nvim_input', keys)
end

--- Closes the buffer, saved or not.
function Session:close()
  self:escape()
  self:lua('vim.cmd.bwipeout({ bang = true })')
end

--- Leaves insert mode.
function Session:escape()
  self:type('<Esc>')
  self:eventually('normal mode', function()
    return self:lua('return vim.api.nvim_get_mode().mode') == 'n'
  end)
end

--- The buffer's lines.
function Session:lines()
  return self:lua('return vim.api.nvim_buf_get_lines(0, 0, -1, true)')
end

--- The buffer as one string.
function Session:text()
  return table.concat(self:lines(), '\n')
end

--- Row and column of the cursor.
function Session:cursor()
  local place = self:lua('return vim.api.nvim_win_get_cursor(0)')
  return place[1] - 1, place[2]
end

--- The buffer's text up to the cursor, and from it.
function Session:around_cursor()
  local row, column = self:cursor()
  local lines = self:lines()
  local before = vim.list_slice(lines, 1, row)
  table.insert(before, lines[row + 1]:sub(1, column))
  local after = { lines[row + 1]:sub(column + 1) }
  vim.list_extend(after, lines, row + 2)
  return table.concat(before, '\n'), table.concat(after, '\n')
end

--- The ghost text on the screen: `{ row, column, text }`, or false if there is none.
function Session:ghost()
  return self:lua([[
    -- Neovim draws in the first of these, the plugin on older ones in the second.
    local namespaces, marks = vim.api.nvim_get_namespaces(), {}
    for _, name in ipairs({ 'nvim.lsp.inline_completion', 'infill' }) do
      local namespace = namespaces[name]
      vim.list_extend(marks, namespace and vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true }) or {})
    end
    if #marks == 0 then return false end
    assert(#marks == 1, 'two ghosts')
    local function joined(chunks)
      return table.concat(vim.tbl_map(function(chunk) return chunk[1] end, chunks))
    end
    local _, row, column, details = unpack(marks[1])
    local lines = { joined(details.virt_text or {}) }
    for _, line in ipairs(details.virt_lines or {}) do
      table.insert(lines, joined(line))
    end
    local text = table.concat(lines, '\n')
    return text ~= '' and { row = row, column = column, text = text }
  ]])
end

--- The ghost's text, or false.
function Session:ghost_text()
  local ghost = self:ghost()
  return ghost and ghost.text
end

--- Waits for this ghost text.
function Session:wait_for_text(text)
  self:becomes(text, function()
    return self:ghost_text()
  end, 'the ghost')
end

--- Waits until the buffer has these lines.
function Session:wait_for_lines(lines)
  self:becomes(lines, function()
    return self:lines()
  end, 'the buffer')
end

--- Waits until the cursor's line is this.
function Session:wait_for_line(line)
  self:becomes(line, function()
    return self:lua('return vim.api.nvim_get_current_line()')
  end, 'the line')
end

--- Waits for ghost text.
function Session:wait_for_ghost()
  return self:eventually('ghost text', function()
    return self:ghost()
  end)
end

--- Presses Tab on a ghost and waits until the buffer has changed.
function Session:accept()
  local before = self:text()
  self:type('<Tab>')
  self:eventually('the accepted text', function()
    return self:text() ~= before
  end)
end

--- What stands on the screen.
function Session:screen()
  return self:lua([[
    vim.cmd.redraw()
    local rows = {}
    for row = 1, vim.o.lines do
      local cells = {}
      for column = 1, vim.o.columns do
        cells[column] = vim.fn.screenstring(row, column)
      end
      rows[row] = (table.concat(cells):gsub('%s+$', ''))
    end
    return table.concat(rows, '\n')
  ]])
end

--- Fails unless the cursor is there.
function Session:equal_cursor(row, column)
  Session.equal({ self:cursor() }, { row, column }, 'the cursor')
end

--- Fails unless the two are equal.
function Session.equal(seen, expected, what)
  if not vim.deep_equal(seen, expected) then
    error(('%s\nexpected: %s\nseen:     %s'):format(what, vim.inspect(expected), vim.inspect(seen)), 2)
  end
end

return Session
