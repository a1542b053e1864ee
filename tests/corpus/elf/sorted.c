/* What the files beside it were compiled from: tests/corpus/elf/make.sh. */
#include <stddef.h>
typedef int order(const void *, const void *);
static inline int twice(int x) { return x * 2; }
static int compare(const void *a, const void *b) { return twice(*(const int *)a) - twice(*(const int *)b); }
__attribute__((noinline)) int fill(int *numbers, int count, int seed) {
    int sum = 0;
    for (int i = 0; i < count; i++) {
        numbers[i] = twice(seed = seed * 1103515245 + 12345) % 1000;
        sum += numbers[i];
    }
    return sum;
}
void sort(int *numbers, size_t count, order *than) {
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && than(&numbers[j - 1], &numbers[j]) > 0; j--) {
            int swapped = numbers[j];
            numbers[j] = numbers[j - 1];
            numbers[j - 1] = swapped;
        }
}
int run(int seed) {
    int numbers[64];
    int sum = fill(numbers, 64, seed);
    sort(numbers, 64, compare);
    return sum + numbers[0];
}
