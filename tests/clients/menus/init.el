;; What a user of Emacs writes to have Infill; editors/README.md shows the same lines.

(require 'eglot)
(add-to-list 'eglot-server-programs
             '(prog-mode . ("infill" "lsp" :initializationOptions
                            (:infill (:completionItems t)))))
(add-hook 'prog-mode-hook #'eglot-ensure)
