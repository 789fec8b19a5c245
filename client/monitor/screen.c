/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/screen.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "client/bench/clock.h"
#include "client/monitor/text.h"

#define INTERVAL_LEAST_NS UINT64_C(100000000)
#define INTERVAL_MOST_NS  UINT64_C(60000000000)
#define PAIR_WARNING      1
#define KEY_ESCAPE        27

struct screen {
    struct monitor_source *source;
    struct monitor_screen_options *options;
    struct monitor_look looks[2]; /* the latest, and the one before */
    unsigned latest;
    unsigned seen; /* how many of them there are */
    struct monitor_change change;
    struct monitor_history history;
    size_t rows; /* of the table, that pass the filter */
    unsigned page_rows;
    uint64_t next_ns; /* when to look again */
    bool paused, help, typing, ended;
    char typed[MONITOR_FILTER_SIZE];
};

/* ---- looking ---- */

static void look(struct screen *s)
{
    enum monitor_wanted wanted = s->options->all_pools ? MONITOR_SESSIONS_OF_ALL : MONITOR_SESSIONS;
    struct monitor_look fresh;
    s->next_ns = bench_now_ns() + s->options->interval_ns;
    if (!monitor_source_look(s->source, wanted, &fresh)) {
        monitor_look_done(&fresh);
        return;
    }
    s->latest ^= s->seen != 0;
    monitor_look_done(&s->looks[s->latest]);
    s->looks[s->latest] = fresh;
    s->seen += s->seen < 2;
    monitor_change_make(&s->change, s->seen == 2 ? &s->looks[s->latest ^ 1].sample : NULL,
                        &s->looks[s->latest].sample);
    if (s->seen == 2)
        monitor_history_add(&s->history, &s->change);
}

/* ---- drawing ---- */

static attr_t attribute(enum monitor_style style)
{
    switch (style) {
    case MONITOR_TITLE: return A_BOLD;
    case MONITOR_TABLE_HEAD: return A_REVERSE;
    case MONITOR_WARNING: return A_BOLD | (has_colors() ? (attr_t)COLOR_PAIR(PAIR_WARNING) : A_REVERSE);
    default: return A_NORMAL;
    }
}

static void draw_line(int row, const char *text, attr_t attributes)
{
    char fitted[2048];
    monitor_fit(fitted, sizeof fitted, text, strlen(text), COLS > 0 ? (unsigned)COLS : 0, false);
    attrset(attributes);
    mvaddstr(row, 0, fitted);
    attrset(A_NORMAL);
}

static const char *const help_lines[] = {
    "q             quit",
    "Tab           next table: sessions, pools, methods",
    "< >           sort by the column to the left, to the right",
    "r             reverse the order",
    "/             show only rows with a text; Enter ends it, empty shows all, Esc forgets it",
    "a             sessions of all pools, or only of this one",
    "Up Down PgUp PgDn Home End",
    "              scroll the table",
    "space         pause",
    "+ -           look less often, more often",
    "h ?           this list",
    "",
    "Requests and connections are those of the whole daemon; objects, memory, sessions and the",
    "collector are those of one pool (--pool).",
};

#define HELP_COUNT (sizeof help_lines / sizeof help_lines[0])

static void draw_help(void)
{
    draw_line(0, "holdfast top: keys", A_BOLD);
    for (size_t i = 0; i < HELP_COUNT && (int)i + 3 < LINES; i++)
        draw_line((int)i + 2, help_lines[i], A_NORMAL);
}

static void draw_foot(const struct screen *s)
{
    char text[160];
    if (s->typing)
        snprintf(text, sizeof text, "Show only rows with: %s_", s->typed);
    else
        snprintf(text, sizeof text,
                 "q quit  Tab table  < > sort  r reverse  / filter  h help   every %.3g s%s",
                 (double)s->options->interval_ns / 1e9, s->paused ? "   paused" : "");
    draw_line(LINES - 1, text, s->typing || s->paused ? A_BOLD : A_DIM);
}

/* What is shown beside the figures when they are old. */
static const char *problem(const struct screen *s, char to[400])
{
    if (s->source->problem[0] == '\0')
        return NULL;
    snprintf(to, 400, "%s; trying again%s", s->source->problem,
             s->seen != 0 ? " (below: when it answered last)" : "");
    return to;
}

static void draw(struct screen *s)
{
    char text[400];
    struct monitor_page page = {0};
    struct monitor_scene scene = {.change = s->seen != 0 ? &s->change : NULL,
                                  .look = &s->looks[s->latest],
                                  .history = &s->history,
                                  .address = s->options->address,
                                  .problem = problem(s, text),
                                  .unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
    erase();
    if (s->help) {
        draw_help();
    } else {
        monitor_page_make(&page, &scene, &s->options->choice, LINES > 0 ? (size_t)LINES : 0, &s->rows);
        for (size_t i = 0; i < page.count && (int)i + 1 < LINES; i++)
            draw_line((int)i, page.lines[i].text, attribute(page.lines[i].style));
        s->page_rows = LINES > 12 ? (unsigned)LINES - 11 : 1;
        monitor_page_done(&page);
    }
    draw_foot(s);
    move(LINES - 1, 0);
    refresh();
}

/* ---- keys ---- */

static void scroll_to(struct screen *s, long first)
{
    long last = (long)s->rows - 1;
    first = first > last ? last : first;
    s->options->choice.first = first > 0 ? (size_t)first : 0;
}

static void next_table(struct screen *s)
{
    struct monitor_choice *choice = &s->options->choice;
    choice->table = (choice->table + 1) % MONITOR_TABLE_COUNT;
    choice->sort = 0;
    choice->reverse = false;
    choice->first = 0;
}

static void move_sort(struct screen *s, int by)
{
    struct monitor_choice *choice = &s->options->choice;
    unsigned next = choice->sort + (unsigned)by; /* below 0 it is above the last */
    if (monitor_table_column(choice->table, next) != NULL)
        choice->sort = next;
}

static void change_interval(struct screen *s, double factor)
{
    double next = (double)s->options->interval_ns * factor;
    if (next >= (double)INTERVAL_LEAST_NS && next <= (double)INTERVAL_MOST_NS)
        s->options->interval_ns = (uint64_t)next;
    s->next_ns = bench_now_ns() + s->options->interval_ns;
}

static void key_of_filter(struct screen *s, int key)
{
    size_t size = strlen(s->typed);
    if (key == KEY_ESCAPE || key == '\n' || key == '\r' || key == KEY_ENTER) {
        if (key != KEY_ESCAPE)
            memcpy(s->options->choice.filter, s->typed, sizeof s->typed);
        s->typing = false;
        s->options->choice.first = 0;
    } else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && size != 0) {
        s->typed[size - 1] = '\0';
    } else if (key >= ' ' && key < 256 && key != 127 && size + 1 < sizeof s->typed) {
        s->typed[size] = (char)key;
        s->typed[size + 1] = '\0';
    }
}

static void key_of_scrolling(struct screen *s, int key)
{
    long first = (long)s->options->choice.first, page = (long)s->page_rows;
    switch (key) {
    case KEY_UP: scroll_to(s, first - 1); break;
    case KEY_DOWN: scroll_to(s, first + 1); break;
    case KEY_PPAGE: scroll_to(s, first - page); break;
    case KEY_NPAGE: scroll_to(s, first + page); break;
    case KEY_HOME: scroll_to(s, 0); break;
    case KEY_END: scroll_to(s, (long)s->rows - page); break;
    default: break;
    }
}

static void key_of_page(struct screen *s, int key)
{
    switch (key) {
    case 'q': s->ended = true; break;
    case '\t': next_table(s); break;
    case '<': move_sort(s, -1); break;
    case '>': move_sort(s, 1); break;
    case 'r': s->options->choice.reverse = !s->options->choice.reverse; break;
    case '/':
        s->typing = true;
        s->typed[0] = '\0';
        break;
    case KEY_ESCAPE: s->options->choice.filter[0] = '\0'; break;
    case 'a':
        s->options->all_pools = !s->options->all_pools;
        look(s);
        break;
    case ' ': s->paused = !s->paused; break;
    case '+': change_interval(s, 2); break;
    case '-': change_interval(s, 0.5); break;
    case 'h':
    case '?': s->help = true; break;
    default: key_of_scrolling(s, key); break;
    }
}

static void read_keys(struct screen *s)
{
    for (int key; !s->ended && (key = getch()) != ERR;) {
        if (key == KEY_RESIZE)
            clearok(curscr, TRUE);
        else if (s->help)
            s->help = false;
        else if (s->typing)
            key_of_filter(s, key);
        else
            key_of_page(s, key);
    }
}

/* ---- the loop ---- */

static int wait_ms(const struct screen *s)
{
    uint64_t now_ns = bench_now_ns();
    if (s->paused)
        return -1;
    return s->next_ns > now_ns ? (int)((s->next_ns - now_ns) / 1000000 + 1) : 0;
}

static void loop(struct screen *s)
{
    struct pollfd wait[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = s->options->signals, .events = POLLIN}};
    while (!s->ended) {
        if (!s->paused && bench_now_ns() >= s->next_ns)
            look(s);
        draw(s);
        int ready = poll(wait, 2, wait_ms(s));
        if (ready < 0 && errno != EINTR)
            return;
        /* The window's size comes by a signal of its own, and is a key. */
        read_keys(s);
        if (ready > 0 && (wait[1].revents != 0 || (wait[0].revents & (POLLHUP | POLLERR)) != 0))
            return;
    }
}

static void begin(void)
{
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(PAIR_WARNING, COLOR_RED, -1);
    }
}

const char *monitor_screen_run(struct monitor_source *source, struct monitor_screen_options *options)
{
    static const char *const unknown = "this terminal is not known (TERM); --once prints one page";
    if (!monitor_terminal_known())
        return unknown;
    struct screen *s = calloc(1, sizeof *s);
    if (s == NULL)
        return "no memory";
    *s = (struct screen){.source = source, .options = options, .page_rows = 1};
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL) {
        free(s);
        return unknown;
    }
    begin();
    loop(s);
    endwin();
    delscreen(terminal);
    monitor_look_done(&s->looks[0]);
    monitor_look_done(&s->looks[1]);
    free(s);
    return NULL;
}
