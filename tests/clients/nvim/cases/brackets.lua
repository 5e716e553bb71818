-- Where the editor has closed a bracket already, an accepted suggestion does not close it twice.

local PAIRS = { { '(', ')' }, { '[', ']' }, { '{', '}' } }

--- How many more brackets are opened than closed, for each kind.
local function balance(text)
  return vim.tbl_map(function(pair)
    local opened = select(2, text:gsub('%' .. pair[1], ''))
    local closed = select(2, text:gsub('%' .. pair[2], ''))
    return opened - closed
  end, PAIRS)
end

return function(session)
  local shown = 0
  for _, name in ipairs({ 'shapes.py', 'cart.js', 'vector.cpp' }) do
    session:open_example(name)
    local lines = session:lines()
    for row, line in ipairs(lines) do
      -- A call as automatic closing leaves it while its first argument is being typed.
      local left, right = line:match('^(.*%w%()[^()]+(%)[^()%w]*)$')
      if left and shown < 6 then
        session:lua(
          [[
          local row, line = ...
          vim.api.nvim_buf_set_lines(0, row - 1, row, true, { line })
        ]],
          row,
          left .. right
        )
        local ghost = session:ask_at(row - 1, #left)
        if ghost then
          shown = shown + 1
          local before, after = session:around_cursor()
          session:accept()
          session.equal(balance(session:text()), balance(before .. after), 'brackets of ' .. left .. ghost.text)
          session.equal(session:text():sub(1, #before), before, 'what stood before the cursor')
        end
        session:escape()
        session:lua('vim.api.nvim_buf_set_lines(0, 0, -1, true, ...)', lines)
      end
    end
    session:close()
  end
  assert(shown > 0, 'no call had a suggestion')
end
