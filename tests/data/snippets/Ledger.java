package ledger;

import java.io.BufferedReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A ledger: entries with a date and an amount, and sums over them. */
public final class Ledger {
    public record Entry(String day, double amount, String note) {
        boolean isIncome() {
            return amount > 0;
        }
    }

    private final List<Entry> entries = new ArrayList<>();

    public static Ledger read(BufferedReader source) throws IOException {
        Ledger ledger = new Ledger();
        String row;
        int line = 0;
        while ((row = source.readLine()) != null) {
            line++;
            String[] columns = row.split(",", 3);
            if (columns.length < 2) {
                throw new IOException("line " + line + ": too few columns");
            }
            try {
                double amount = Double.parseDouble(columns[1]);
                String note = columns.length == 3 ? columns[2] : "";
                ledger.entries.add(new Entry(columns[0], amount, note));
            } catch (NumberFormatException error) {
                throw new IOException("line " + line + ": '" + columns[1] + "'", error);
            } finally {
                System.err.println(line);
            }
        }
        return ledger;
    }

    public double total(String month) {
        return entries.stream()
            .filter(entry -> month == null || entry.day().startsWith(month))
            .mapToDouble(Entry::amount)
            .sum();
    }

    public Map<String, Double> byMonth() {
        Map<String, Double> sums = new TreeMap<>();
        for (Entry entry : entries) {
            String month = entry.day().substring(0, 7);
            sums.merge(month, entry.amount(), Double::sum);
        }
        return sums;
    }

    @Override
    public String toString() {
        StringBuilder rows = new StringBuilder();
        byMonth().forEach((month, amount) -> {
            rows.append(String.format("%s %10.2f%n", month, amount));
        });
        return rows.toString();
    }
}
