#!/usr/bin/env bash
# Makes a VS Code that a test can drive: code-server, which serves it to a browser; prints its folder.
#
# In the folder, .cache/vscode of this repository, `code-server` starts it, with a Node of its own
# (code-server wants one version and no other). The browser is Debian's Chromium. Of VS Code's native
# modules only those are built that it cannot work without: the log and the watchdog.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/packages.sh

code_server=4.139.1
node=24

folder=$PWD/.cache/vscode
recipe="code-server $code_server, node $node, $(sha256sum "tests/setup/vscode.sh")"

need chromium chromium

# Tests ask for it side by side; one of them makes it.
mkdir -p .cache
exec 9>.cache/vscode.lock
flock 9

if [ "$(cat "$folder/made" 2>/dev/null)" = "$recipe" ]; then
    echo "$folder"
    exit
fi

need c++ build-essential
need make build-essential
need npm npm
need python3 python3

{
    rm -rf "$folder"
    mkdir -p "$folder"
    cd "$folder"
    echo '{ "private": true }' >package.json
    quiet='--no-audit --no-fund --loglevel=error'
    runtime=node-linux-$(node -p process.arch)
    npm install $quiet "$runtime@$node"
    # Other Nodes are refused by its own check, so no script of its runs before ours is on the path.
    npm install $quiet --force --ignore-scripts "code-server@$code_server"

    runtime=$folder/node_modules/$runtime
    export PATH=$runtime/bin:$PATH npm_config_nodedir=$runtime
    cd node_modules/code-server/lib/vscode
    npm install $quiet --omit=dev --ignore-scripts
    npm rebuild $quiet @vscode/spdlog @vscode/native-watchdog
    ln -sfn code-linux.sh bin/remote-cli/code-server
    ln -sfn browser-linux.sh bin/helpers/browser.sh

    cat >"$folder/code-server" <<END
#!/bin/sh
CODE_SERVER_CONFIG=$folder/config.yaml PATH=$runtime/bin:\$PATH exec node $folder/node_modules/code-server/out/node/entry.js "\$@"
END
    chmod +x "$folder/code-server"
    echo '{}' >"$folder/config.yaml"
    "$folder/code-server" --version
} >&2 || fail "cannot install code-server in $folder"
echo "$recipe" >"$folder/made"
echo "$folder"
