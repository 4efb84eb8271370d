/*
 * The minimum cost of reading cgroups: opens every file once, then reads each at position 0 and parses its numbers,
 * round after round, in one thread. Standard input has a file per line, `<kind> <path> [keys...]`, with the kinds
 * number, limit, cores, keyed and pressure. Prints `<cpu in microseconds> <sum of all numbers>` per round. The second
 * argument is the number of files to keep open: the others are opened and closed with each read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { most_keys = 8 };

struct file {
  int descriptor;
  char kind;
  char *path;
  int keys;
  char *key[most_keys];
  size_t length[most_keys];
};

static char buffer[65536];

static double cpu(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 + use.ru_utime.tv_usec + use.ru_stime.tv_usec;
}

static double number(char *at) { return (double)strtoull(at, NULL, 10); }

static double limit(char *at) { return strncmp(at, "max", 3) == 0 ? 0 : number(at); }

static double keyed(const struct file *file) {
  double sum = 0;
  for (char *line = buffer; *line != '\0';) {
    char *end = strchr(line, '\n');
    char *gap = strchr(line, ' ');
    if (end == NULL || gap == NULL) break;
    for (int key = 0; key < file->keys; key++)
      if ((size_t)(gap - line) == file->length[key] && memcmp(line, file->key[key], file->length[key]) == 0)
        sum += number(gap + 1);
    line = end + 1;
  }
  return sum;
}

static double pressure(void) {
  double sum = 0;
  for (char *at = buffer; (at = strstr(at, "total=")) != NULL; at += 6) sum += number(at + 6);
  return sum;
}

static double read_file(const struct file *file) {
  int descriptor = file->descriptor < 0 ? open(file->path, O_RDONLY | O_CLOEXEC) : file->descriptor;
  ssize_t length = pread(descriptor, buffer, sizeof buffer - 1, 0);
  if (file->descriptor < 0) close(descriptor);
  if (length < 0) return 0;
  buffer[length] = '\0';
  switch (file->kind) {
    case 'n': return number(buffer);
    case 'l': return limit(buffer);
    case 'c': {
      char *gap = strchr(buffer, ' ');
      return buffer[0] == 'm' || gap == NULL ? 0 : number(buffer) / number(gap + 1);
    }
    case 'p': return pressure();
    default: return keyed(file);
  }
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 10;
  size_t kept = argc > 2 ? (size_t)atol(argv[2]) : (size_t)-1;
  size_t count = 0, capacity = 1024;
  struct file *files = malloc(capacity * sizeof *files);
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, stdin) > 0) {
    if (count == capacity) files = realloc(files, (capacity *= 2) * sizeof *files);
    struct file *file = &files[count];
    file->kind = strtok(line, " \n")[0];
    file->path = strdup(strtok(NULL, " \n"));
    file->descriptor = count < kept ? open(file->path, O_RDONLY | O_CLOEXEC) : -1;
    file->keys = 0;
    for (char *key; (key = strtok(NULL, " \n")) != NULL && file->keys < most_keys; file->keys++) {
      file->key[file->keys] = strdup(key);
      file->length[file->keys] = strlen(key);
    }
    if (count < kept && file->descriptor < 0) {
      perror("open");
      return 1;
    }
    count++;
  }
  for (int round = 0; round < rounds; round++) {
    double start = cpu(), sum = 0;
    for (size_t at = 0; at < count; at++) sum += read_file(&files[at]);
    printf("%.0f %.6f\n", cpu() - start, sum);
  }
  return 0;
}
