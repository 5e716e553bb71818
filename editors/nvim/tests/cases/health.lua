-- :checkhealth infill finds what is there, and what is wrong.

return function(session)
  local function report()
    session:lua([[vim.cmd('checkhealth infill')]])
    return session:eventually('the report', function()
      local text = session:text()
      return text:find('Completion menus', 1, true) and text:find('menu = "hide"', 1, true) and text
    end)
  end
  local function has(text, ...)
    for _, part in ipairs({ ... }) do
      assert(text:find(part, 1, true), part .. ' is not in\n' .. text)
    end
  end

  session:open_example('shapes.py')
  local version = session:lua('return tostring(vim.version())')
  local drawn = session:lua([[return vim.fn.has('nvim-0.12') == 1]]) and 'its own inline completion draws'
    or 'the plugin draws'
  local text = report()
  has(
    text,
    version .. ': ' .. drawn,
    vim.env.INFILL_BIN .. ': infill ',
    'it runs, for 1 buffer',
    'all are as setup() has them',
    'processor',
    'runs on',
    'no problem was found'
  )
  has(text, "only Neovim's own")
  assert(not text:find('WARNING') and not text:find('ERROR'), text)

  session:lua('vim.cmd.bwipeout({ bang = true })')
  session:lua([[
    vim.keymap.set('i', '<Tab>', 'x', { buffer = true, desc = 'the tab of another' })
    package.loaded['blink.cmp'] = { is_menu_visible = function() end }
    require('infill.server').stop()
    require('infill.config').options.cmd = { '/nowhere/infill', 'lsp' }
  ]])
  has(
    report(),
    '/nowhere/infill',
    'no server runs',
    '<Tab> (accept) means something else: the tab of another',
    'blink.cmp'
  )
end
