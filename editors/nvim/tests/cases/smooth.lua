-- While the server hangs and reads nothing, no key takes Neovim's main loop longer than a frame of the
-- screen (16 ms), in a file of 2,000 lines.
--
-- A key's time goes from its arrival to where Neovim waits for the next one. What else the machine does
-- adds to it at random, so each key is typed in several rounds and the best counts: what the plugin
-- makes slow is slow each time. The same keys without the plugin are measured beside it.

local LIMIT, ROUNDS = 16, 5
local KEYS = 'total = compute(first, second) + [1, 2]'

local MEASURE = [[
  local times, since = {}, nil
  vim.on_key(function(_, typed)
    if typed ~= '' then
      since = vim.uv.hrtime()
    end
  end)
  vim.api.nvim_create_autocmd('SafeState', {
    callback = function()
      if since then
        table.insert(times, (vim.uv.hrtime() - since) / 1e6)
        since = nil
      end
    end,
  })
  _G.times = times
]]

--- The best time of each key over the rounds, in ms.
local function measure(session)
  session:lua(MEASURE)
  local best = {}
  for _ = 1, ROUNDS do
    session:type('cc')
    session:wait_for_line('')
    session:lua('for index in pairs(_G.times) do _G.times[index] = nil end')
    for number = 1, #KEYS do
      session:type(KEYS:sub(number, number))
      session:eventually('the next key', function()
        return session:lua('return #_G.times') == number
      end)
    end
    session.equal(session:lua('return vim.api.nvim_get_current_line()'), KEYS, 'what was typed')
    local times = session:lua('return _G.times')
    for key, time in ipairs(times) do
      best[key] = math.min(best[key] or math.huge, time)
    end
    session:escape()
  end
  return best
end

local function summary(times)
  local sorted = vim.list_slice(times)
  table.sort(sorted)
  return ('median %.2f ms, slowest %.2f ms'):format(sorted[math.ceil(#sorted / 2)], sorted[#sorted]), sorted[#sorted]
end

return function(session)
  local text = ('value = 1\n'):rep(2000)
  session:lua('fake(...)', { deaf = true })
  session:edit('a.py', text)
  session:eventually('a server', function()
    return session:lua([[
      local client = vim.lsp.get_clients({ name = 'infill', bufnr = 0 })[1]
      return client ~= nil and client.initialized
    ]])
  end)
  local with, slowest = summary(measure(session))

  -- Another Neovim, in which no server was ever started.
  local other = session.start(session.way)
  other:lua([[vim.api.nvim_del_augroup_by_name('infill.server')]])
  other:edit('a.py', text)
  local without = summary(measure(other))
  other:stop()

  local said = ('a key with a server that hangs: %s; without any: %s'):format(with, without)
  io.stdout:write(said, '\n')
  assert(slowest < LIMIT, said)
end
