/* The floor: a byte relay that parses nothing.
 *
 * One thread, level-triggered epoll, one upstream connection for each client connection, and for
 * every event one read and one write. What a proxy costs above this is the price of understanding
 * HTTP; what this costs is almost entirely the kernel's loopback.
 *
 *     relay LISTEN_PORT UPSTREAM_PORT        (both on 127.0.0.1)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, EVENTS_MAX = 128, BUFFER_BYTES = 16384 };

/* `held` is what the other side has read and this side's socket would not take yet. */
struct side {
    int fd;
    struct side *other;
    size_t held_from, held_to;
    char held[BUFFER_BYTES];
};

struct pair {
    struct side client, upstream;
    struct pair *next_closed;
};

static int epoll_fd;
static int pairs_open;
static struct pair *closed; /* freed after the batch: a later event of it may name the same pair */

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(struct side *s, int op, unsigned events) {
    struct epoll_event e = {.events = events, .data.ptr = s};
    if (epoll_ctl(epoll_fd, op, s->fd, &e) < 0) die("epoll_ctl");
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void no_delay(int fd) {
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) die("TCP_NODELAY");
}

static void close_pair(struct side *s) {
    struct side *other = s->other;
    close(s->fd);
    close(other->fd);
    s->fd = other->fd = -1;
    struct pair *p = (struct pair *)(s < other ? s : other); /* `client` is the first member */
    p->next_closed = closed;
    closed = p;
    pairs_open--;
}

static void open_pair(int listener, int upstream_port) {
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
        die("accept4");
    }
    if (pairs_open >= CONNECTIONS_MAX) {
        close(client);
        return;
    }
    int upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (upstream < 0) die("socket");
    struct sockaddr_in a = loopback(upstream_port);
    /* Blocking: on loopback it is done at once, and it happens once per connection. */
    if (connect(upstream, (struct sockaddr *)&a, sizeof a) < 0) {
        perror("connect");
        close(client);
        close(upstream);
        return;
    }
    struct pair *p = calloc(1, sizeof *p);
    if (!p) die("calloc");
    p->client = (struct side){.fd = client, .other = &p->upstream};
    p->upstream = (struct side){.fd = upstream, .other = &p->client};
    no_delay(client);
    no_delay(upstream);
    pairs_open++;
    watch(&p->client, EPOLL_CTL_ADD, EPOLLIN);
    watch(&p->upstream, EPOLL_CTL_ADD, EPOLLIN);
}

static int holds(const struct side *s) {
    return s->held_to > s->held_from;
}

/* A side is read only while the other side holds nothing of it, and written while it holds. */
static void rearm(struct side *s) {
    watch(s, EPOLL_CTL_MOD, (holds(s->other) ? 0u : EPOLLIN) | (holds(s) ? EPOLLOUT : 0u));
}

/* Reads once from `s` and writes once to its other side. */
static void carry(struct side *s) {
    static char buffer[BUFFER_BYTES];
    struct side *to = s->other;
    ssize_t got = recv(s->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        close_pair(s);
        return;
    }
    ssize_t put = send(to->fd, buffer, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put == got) return;
    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            close_pair(s);
            return;
        }
        put = 0;
    }
    to->held_from = 0;
    to->held_to = (size_t)(got - put);
    memcpy(to->held, buffer + put, to->held_to);
    rearm(s);
    rearm(to);
}

static void flush(struct side *s) {
    ssize_t put = send(s->fd, s->held + s->held_from, s->held_to - s->held_from,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) close_pair(s);
        return;
    }
    s->held_from += (size_t)put;
    if (holds(s)) return;
    rearm(s);
    rearm(s->other);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT UPSTREAM_PORT\n");
        return 2;
    }
    int upstream_port = atoi(argv[2]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) die("socket");
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = loopback(atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
    if (listen(listener, 511) < 0) die("listen");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");
    struct side accepting = {.fd = listener};
    watch(&accepting, EPOLL_CTL_ADD, EPOLLIN);

    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct side *s = events[i].data.ptr;
            if (s == &accepting) {
                open_pair(listener, upstream_port);
                continue;
            }
            if (s->fd < 0) continue;
            unsigned seen = events[i].events;
            if (seen & EPOLLOUT) flush(s);
            if (s->fd >= 0 && (seen & EPOLLIN) && !holds(s->other)) carry(s);
            else if (s->fd >= 0 && (seen & (EPOLLERR | EPOLLHUP))) close_pair(s);
        }
        while (closed) {
            struct pair *p = closed;
            closed = p->next_closed;
            free(p);
        }
    }
}
