/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/reload.h"

struct reloading {
    const struct reload *reload;
    struct options *now, *next;
};

static void on_complaint(void *data, const char *file, unsigned line, const char *text)
{
    const struct reloading *reloading = data;
    log_write(reloading->reload->log, LOG_LEVEL_ERROR, "config", "file=%s line=%u msg=\"%s\"",
              file == NULL ? "-" : file, line, text);
}

/* Always false. */
static bool refuse(const struct reload *reload, const char *why)
{
    log_write(reload->log, LOG_LEVEL_ERROR, "not_reloaded", "msg=\"%s\"", why);
    return false;
}

/* ---- addresses ---- */

static void add_listener(struct reloading *reloading, enum option_id id, const char *address)
{
    const struct reload *reload = reloading->reload;
    char error[CONFIG_ERROR_MAX];
    if (options_make_folder(reloading->next, error, sizeof error) == 0 &&
        reload->actions.listen(reload->actions.data, id, address, error, sizeof error) == 0)
        return;
    options_listen_failed(reloading->next, id, address);
    log_write(reload->log, LOG_LEVEL_ERROR, "not_listening",
              "address=%s msg=\"%s; nothing else is touched by that; mend it and reload once more\"", address,
              error);
}

static void remove_listener(const struct reload *reload, enum option_id id, const char *address)
{
    reload->actions.unlisten(reload->actions.data, id, address);
    log_write(reload->log, LOG_LEVEL_INFO, "unlistened", "address=%s msg=\"no longer listening on %s%s\"",
              address, address, id == OPTION_LISTEN ? "; its connections stay" : "");
}

/* ---- values ---- */

static void take_over(const struct reloading *reloading, enum option_id id)
{
    const struct reload *reload = reloading->reload;
    if (id == OPTION_MAX_MEMORY)
        reload->actions.set_max_memory(reload->actions.data, reloading->next->max_memory);
    else if (id == OPTION_SLOWLOG_US)
        reload->actions.set_slowlog_us(reload->actions.data, reloading->next->slowlog_us);
    else if (id == OPTION_EVACUATE_PERCENT)
        reload->actions.set_evacuate_percent(reload->actions.data, reloading->next->evacuate_percent);
    else if (id == OPTION_SAVE_EVERY)
        reload->actions.set_save_every(reload->actions.data, reloading->next->save_every_ms);
    else if (id == OPTION_SAVE_KEEP)
        reload->actions.set_save_keep(reload->actions.data, reloading->next->save_keep);
    else if (id == OPTION_LOG_LEVEL)
        log_set_level(reload->log, reloading->next->log_level);
}

static void say_changed(const struct reload *reload, enum option_id id, const char *old, const char *new)
{
    log_write(reload->log, LOG_LEVEL_INFO, "changed", "option=%s from=\"%s\" to=\"%s\"", option_name(id), old,
              new);
}

static void change_value(const struct reloading *reloading, enum option_id id, const char *old,
                         const char *new)
{
    /* The line about a new level of the log is written under the more talkative of the two. */
    if (id == OPTION_LOG_LEVEL && reloading->next->log_level < reloading->now->log_level) {
        say_changed(reloading->reload, id, old, new);
        take_over(reloading, id);
    } else {
        take_over(reloading, id);
        say_changed(reloading->reload, id, old, new);
    }
}

/* A folder that cannot be used is no reason to have none: the old one stays. */
static void change_folder(const struct reloading *reloading, const char *old, const char *new)
{
    const struct reload *reload = reloading->reload;
    char error[CONFIG_ERROR_MAX];
    if (reload->actions.set_save_dir(reload->actions.data, reloading->next->save_dir, error, sizeof error) ==
        0) {
        say_changed(reload, OPTION_SAVE_DIR, old, new);
        return;
    }
    options_keep(reloading->next, reloading->now, OPTION_SAVE_DIR);
    log_write(reload->log, LOG_LEVEL_ERROR, "not_changed",
              "option=%s from=\"%s\" to=\"%s\" msg=\"%s; mend it and reload once more\"",
              option_name(OPTION_SAVE_DIR), old, new, error);
}

static void keep_value(const struct reloading *reloading, enum option_id id, const char *old, const char *new)
{
    options_keep(reloading->next, reloading->now, id);
    log_write(reloading->reload->log, LOG_LEVEL_WARN, "not_changed",
              "option=%s from=\"%s\" to=\"%s\" msg=\"restart to change it\"", option_name(id), old, new);
}

static void on_change(void *data, enum option_id id, const char *old, const char *new)
{
    struct reloading *reloading = data;
    if (option_is_list(id) && old != NULL)
        remove_listener(reloading->reload, id, old);
    else if (option_is_list(id))
        add_listener(reloading, id, new);
    else if (id == OPTION_SAVE_DIR)
        change_folder(reloading, old, new);
    else if (option_is_live(id))
        change_value(reloading, id, old, new);
    else
        keep_value(reloading, id, old, new);
}

bool reload_options(struct options *now, const struct reload *reload)
{
    struct options next;
    struct reloading reloading = {.reload = reload, .now = now, .next = &next};
    const char *file = reload->command->file;
    if (file == NULL)
        return refuse(reload, "there is no file to read again; start with --config");
    if (!config_is_lasting(file))
        return refuse(reload, "what --config names is no file that can be read again");
    if (options_load(&next, reload->command, reload->check, on_complaint, &reloading) > 0)
        return refuse(reload, "nothing is changed; mend the file and reload once more");
    if (reload->activated)
        options_drop_default_listen(&next);
    options_compare(now, &next, on_change, &reloading);
    options_free(now);
    *now = next;
    log_write(reload->log, LOG_LEVEL_INFO, "reloaded", "file=%s", file);
    return true;
}
