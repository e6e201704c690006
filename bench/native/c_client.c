/* The floor for latency: a blocking WebSocket client that receives and parses, nothing else.

   c_client PORT FRAMES: connects to 127.0.0.1, subscribes, reads FRAMES text frames. Of each it
   turns every number in the text into an integer (the sum is printed on stderr, so that the work
   cannot be left out). After each recv it notes the monotonic clock and the frames so far; the
   pairs go to stdout as int64 at the end, so that writing them costs nothing meanwhile. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t parse(const unsigned char *p, const unsigned char *end) {
    uint64_t sum = 0, value = 0;
    for (; p < end; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit < 10) {
            value = value * 10 + digit;
        } else if (*p != '.') {
            sum += value;
            value = 0;
        }
    }
    return sum + value;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: c_client PORT FRAMES\n");
        return 2;
    }
    const int64_t wanted = atoll(argv[2]);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int64_t *notes = malloc(sizeof(int64_t) * 2 * (size_t)wanted);
    unsigned char *buffer = malloc(BUFFER_BYTES);
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (!notes || !buffer || s < 0) fail("start");
    if (connect(s, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const char *hello = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    if (write(s, hello, strlen(hello)) < 0) fail("write");
    size_t held = 0;
    unsigned char *end_of_head = NULL;
    while (!end_of_head) {
        ssize_t n = recv(s, buffer + held, BUFFER_BYTES - 1 - held, 0);
        if (n <= 0) fail("handshake");
        held += (size_t)n;
        buffer[held] = 0;
        end_of_head = (unsigned char *)strstr((char *)buffer, "\r\n\r\n");
    }
    held -= (size_t)(end_of_head + 4 - buffer);
    memmove(buffer, end_of_head + 4, held);
    const unsigned char subscribe[] = {0x81, 0x82, 0, 0, 0, 0, '{', '}'};
    if (write(s, subscribe, sizeof subscribe) < 0) fail("write");

    int64_t frames = 0, note = 0;
    uint64_t sum = 0;
    while (frames < wanted) {
        ssize_t n = recv(s, buffer + held, BUFFER_BYTES - held, 0);
        if (n <= 0) fail("recv");
        held += (size_t)n;
        size_t at = 0;
        const int64_t before = frames;
        while (held - at >= 2) {
            size_t size = buffer[at + 1] & 0x7f, head = 2;
            if (size == 126) {
                head = 4;
                if (held - at < head) break;
                size = (size_t)buffer[at + 2] << 8 | buffer[at + 3];
            } else if (size == 127) {
                head = 10;
                if (held - at < head) break;
                size = 0;
                for (size_t i = 2; i < 10; i++) size = size << 8 | buffer[at + i];
            }
            if (held - at < head + size) break;
            if ((buffer[at] & 0x0f) == 1) {
                sum += parse(buffer + at + head, buffer + at + head + size);
                frames++;
            }
            at += head + size;
        }
        held -= at;
        memmove(buffer, buffer + at, held);
        if (frames > before) {
            notes[note++] = now_ns();
            notes[note++] = frames;
        }
    }
    close(s);
    fprintf(stderr, "%llu\n", (unsigned long long)sum);
    return fwrite(notes, sizeof(int64_t), (size_t)note, stdout) == (size_t)note ? 0 : 1;
}
