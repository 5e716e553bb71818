; inherits: c

; `using namespace std;`, `using std::string;`.
(using_declaration) @import
