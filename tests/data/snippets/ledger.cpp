// A ledger: entries with a date and an amount, and sums over them.
#include <iomanip>
#include <istream>
#include <map>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace ledger {

struct Entry {
  std::string day;
  double amount = 0;
  std::string note;

  bool is_income() const { return amount > 0; }
};

template <typename T>
T parsed(const std::string& text, int line) {
  std::istringstream stream(text);
  T value;
  if (!(stream >> value)) {
    throw std::runtime_error("line " + std::to_string(line) + ": '" + text + "'");
  }
  return value;
}

class Ledger {
 public:
  explicit Ledger(std::istream& source) {
    std::string row;
    for (int line = 1; std::getline(source, row); ++line) {
      std::istringstream columns(row);
      Entry entry;
      std::string amount;
      std::getline(columns, entry.day, ',');
      std::getline(columns, amount, ',');
      std::getline(columns, entry.note);
      entry.amount = parsed<double>(amount, line);
      entries_.push_back(std::move(entry));
    }
  }

  std::map<std::string, double> by_month() const {
    std::map<std::string, double> sums;
    for (const auto& entry : entries_) {
      sums[entry.day.substr(0, 7)] += entry.amount;
    }
    return sums;
  }

  friend std::ostream& operator<<(std::ostream& out, const Ledger& ledger) {
    for (const auto& [month, amount] : ledger.by_month()) {
      const char sign = amount < 0 ? '-' : '+';
      out << month << ' ' << sign << std::fixed << std::setprecision(2) << amount << '\n';
    }
    return out;
  }

 private:
  std::vector<Entry> entries_;
};

}  // namespace ledger
