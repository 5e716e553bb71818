public class Counter {
    private int count;

    ‸

    public int get() {
        return count;
    }
}
