#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The reference in docs/ against the code, both ways: directives with their
# contexts, numbers of arguments and defaults, parameters, variables, counters.
# At the end the documents are broken on purpose, to see that it is noticed.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use MqttTest::Source qw/ files text /;

###############################################################################

my %code = map { $_ => text($_) } files(qr{^ngx_mqtt_module/.*\.[ch]$});
my $all = join "\n", map { $code{$_} } sort keys %code;

# directives that are read into a ngx_mqtt_client_conf_t are merged by client/

my $merged_by_client = qr/^client\./;

my %contexts = (
    NGX_STREAM_MAIN_CONF => 'stream',
    NGX_STREAM_SRV_CONF  => 'server',
    NGX_STREAM_MQTT_CONF => 'mqtt_gateway',
    NGX_HTTP_MAIN_CONF   => 'http',
    NGX_HTTP_SRV_CONF    => 'server',
    NGX_HTTP_LOC_CONF    => 'location',
);

my %arguments = (
    NGX_CONF_NOARGS => [ 0 ],
    NGX_CONF_FLAG   => [ 1 ],
    NGX_CONF_TAKE1  => [ 1 ],
    NGX_CONF_TAKE2  => [ 2 ],
    NGX_CONF_TAKE3  => [ 3 ],
    NGX_CONF_TAKE12 => [ 1, 2 ],
    NGX_CONF_TAKE23 => [ 2, 3 ],
    NGX_CONF_TAKE123 => [ 1, 2, 3 ],
    NGX_CONF_1MORE  => [ 1, 'more' ],
    NGX_CONF_2MORE  => [ 2, 'more' ],
);

# what a handler of its own takes for the default

my %computed = (
    zone        => qr/ngx_mqtt_zone_add\(cf, gw, ([\d *]+)\)/,
    kafka_queue => qr/define NGX_MQTT_KAFKA_QUEUE_SIZE\s+\(([\d *]+)\)/,
    kafka_inflight =>
        qr/define NGX_MQTT_KAFKA_INFLIGHT_SIZE\s+\(([\d *]+)\)/,
);

my %pages = (
    'docs/ngx_stream_mqtt_module.md' => qr{/stream/},
    'docs/ngx_http_mqtt_module.md'   => qr{/http/},
);

my $defaults = defaults();
my $enums = enums();

for my $page (sort keys %pages) {
    my $text = text($page);
    my %documented = documented($text);
    my @commands = commands($pages{$page});

    report("$page: directives", directives(\@commands, %documented));
    report("$page: order", order(names($text)));
    report("$page: links", links($text));
}

my $stream = text('docs/ngx_stream_mqtt_module.md');
my $counters = text('docs/counters.md');

report('settings of clients', client_settings());
report('parameters', parameters($stream));
report('variables', variables($stream));
report('counters', counters($counters));

my $conformance = text('docs/conformance.md');

report('conformance', conformance($conformance));

report('tables are read', commands(qr{/stream/}) > 20 ? () : 'too few',
       keys %$defaults > 10 ? () : 'too few defaults');

###############################################################################
# broken on purpose

broken('a missing directive', qr/mqtt_send_window: not documented/,
       sub { s/^### mqtt_send_window\n//m });
broken('a stale directive', qr/mqtt_old: not in the code/,
       sub { s/^(?=### mqtt_pass)/### mqtt_old\n\n/m });
broken('another default', qr/mqtt_send_timeout: default/,
       sub { s/(Default: mqtt_send_timeout) 30s/$1 31s/ });
broken('another default size', qr/zone: default/,
       sub { s/Default: zone 32m/Default: zone 32k/ });
broken('another default word', qr/refused_publish: default/,
       sub { s/Default: refused_publish close/Default: refused_publish x/ });
broken('a default where there is none', qr/topic: default/,
       sub { s/(### topic\n.*?Default:) —/$1 topic x;/s });
broken('no default where there is one', qr/drain_rate: default/,
       sub { s/Default: drain_rate 1000;/Default: —/ });
broken('another context', qr/mqtt_pass: context/,
       sub { s/(### mqtt_pass\n.*?Context:) server/$1 stream, server/s });
broken('another number of arguments', qr/kafka_set: arguments/,
       sub { s/kafka_set property value;/kafka_set property;/ });
broken('a missing variable', qr/\$mqtt_session: not documented/,
       sub { s/^- `\$mqtt_session`//m });
broken('a stale variable', qr/\$mqtt_old: not in the code/,
       sub { s/^- `\$mqtt_session`/- `\$mqtt_old`\n$&/m });
broken('a missing parameter', qr/redis: parameter prefix/,
       sub { s/`prefix=text`// });
broken('a stale parameter', qr/kafka_queue: parameter old/,
       sub { s/(kafka_queue size) /$1 [old=size] / });
broken('a missing method', qr/auth: method anonymous/,
       sub { s/auth anonymous;\n//g });

my $less = $counters =~ s/^\| `pauses`.*\n//mr;
is_deeply([ counters($less) ], [ 'pauses: not documented' ],
          'noticed: a missing counter');

is_deeply([ conformance($conformance =~ s{t/keepalive\.t}{t/no.t}r) ],
          [ '3.1.2-22: no t/no.t' ], 'noticed: a test that is not there');
is_deeply([ conformance($conformance =~ s/^\| 4\.3\.2-5 .*\n/$&$&/mr) ],
          [ '4.3.2-5: twice' ], 'noticed: a statement twice');

done_testing();

###############################################################################

sub report {
    my ($name, @problems) = @_;

    ok(!@problems, $name) or diag(join "\n", @problems);
}


# the files of tests that are named for the statements of each version

sub conformance {
    my ($text) = @_;

    my @problems;
    my %tests = map { $_ => 1 } files(qr{^t/});

    for my $version (split /^## /m, $text) {
        my %seen;

        while ($version =~ /^\| (\d[^|]*) \| ([^|]+) \| ([^|]+) \|$/gm) {
            my ($statements, $where) = ($1, $3);

            for my $statement (split /, /, $statements) {
                push @problems, "$statement: not a number"
                    if $statement !~ /^\d+\.\d+\.\d+-\d+$/;
                push @problems, "$statement: twice" if $seen{$statement}++;
            }

            push @problems, map { "$statements: no $_" }
                grep { !$tests{$_} } $where =~ /`([^`]+)`/g;
        }

        push @problems, 'no statements'
            if $version =~ /^MQTT/ && keys %seen < 50;
    }

    return @problems;
}


sub broken {
    my ($name, $re, $edit) = @_;

    local $_ = $stream;
    $edit->();

    my @problems = (directives([ commands(qr{/stream/}) ], documented($_)),
                    parameters($_), variables($_));

    ok($stream ne $_ && grep({ $_ =~ $re } @problems), "noticed: $name")
        or diag("problems: @problems");
}


# { name, flags, fields } of every ngx_command_t

sub commands {
    my ($re) = @_;

    my @commands;

    for my $path (grep { $_ =~ $re } sort keys %code) {

        while ($code{$path} =~ /^static\ ngx_command_t\ .*?
                                ^\ +ngx_null_command/gmsx)
        {
            my $table = $&;

            while ($table =~ /\{\ ngx_string\("(\w+)"\),\s+([\w|\s]+?),\s+
                              (.*?)\ \}/gsx)
            {
                my ($name, $flags, $rest) = ($1, $2, $3);
                my ($field) = $rest =~ /offsetof\(\s*\w+,\s*([\w.]+)\)/;

                push @commands, { name => $name, field => $field,
                                  flags => [ split /[|\s]+/, $flags ] };
            }
        }
    }

    return @commands;
}


# field => value as it stands in the code

sub defaults {
    my %values;

    while ($all =~ /ngx_conf_merge_(?:\w+_)?value\(conf->([\w.]+),\s+
                    prev->[\w.]+,\s+([^;]+?)\);/gsx)
    {
        $values{$1} = $2;
    }

    while ($all =~ /ngx_conf_init_(?:\w+_)?value\(gw->(\w+),\s+
                    ([^;]+?)\);/gsx)
    {
        $values{$1} = $2;
    }

    return \%values;
}


# constant => word

sub enums {
    my %words;

    while ($all =~ /ngx_conf_enum_t\s.*?ngx_null_string/gs) {
        my $table = $&;

        $words{$2} = $1
            while $table =~ /ngx_string\("(\w+)"\),\s+(\w+)/g;
    }

    return \%words;
}


sub number {
    my ($text) = @_;

    return $text if $text !~ /^[\d\s*]+$/;

    my $value = 1;
    $value *= $_ for $text =~ /\d+/g;

    return $value;
}


# "30s", "1m" and "2d" may mean several things in the units of the code

sub meanings {
    my ($text, $code) = @_;

    return { $text => 1 } if $text !~ /^(\d+)(ms|[smhdkg]?)$/;

    my ($n, $unit) = ($1, $2);

    my %seconds = (s => 1, m => 60, h => 3600, d => 86400);
    my %bytes = (k => 1024, m => 1024 ** 2, g => 1024 ** 3);

    my @values = $unit eq '' || $unit eq 'ms' ? $n : ();

    push @values, $n * $bytes{$unit} if $bytes{$unit};
    push @values, $n * $seconds{$unit}, $n * $seconds{$unit} * 1000
        if $seconds{$unit};

    return { map { $_ => 1 } @values };
}


# name => { syntax => [], default, context => [], text }

sub documented {
    my ($text) = @_;

    my %directives;
    my ($body) = $text =~ /^## Directives\n(.*?)(?=^## |\z)/ms;

    while ($body =~ /^### (\w+)\n(.*?)(?=^### |\z)/gms) {
        my ($name, $section) = ($1, $2);

        my ($syntax, $default, $context) = $section =~ /^\n
            \ {4}Syntax:\ \ (.+?)\n
            \ {4}Default:\ ([^\n]+)\n
            \ {4}Context:\ ([^\n]+)\n/sx;

        $directives{$name} = {
            syntax  => [ map { s/^\s+//r } split /\n/, $syntax // '' ],
            default => $default // '',
            context => [ split /, /, $context // '' ],
            text    => $section,
        };
    }

    return %directives;
}


sub names {
    my ($text) = @_;

    my ($body) = $text =~ /^## Directives\n(.*?)(?=^## |\z)/ms;

    return $body =~ /^### (\w+)/gm;
}


# the least and the greatest number of arguments of a line of syntax

sub syntax_arguments {
    my ($name, $syntax) = @_;

    my $block = $syntax =~ s/ \{ \.\.\. \}$// || $syntax =~ s/;$// ? 1 : 0;

    return "malformed \"$syntax\"" if !$block || $syntax !~ s/^$name\b//;

    my $more = $syntax =~ /\.\.\./;
    my $optional = () = $syntax =~ /\[/g;

    $syntax =~ s/\[[^\]]*\]//g;
    $syntax =~ s/\.\.\.//g;
    $syntax =~ s/\s+\|\s+/|/g;

    my $least = () = $syntax =~ /\S+/g;

    return ('', $least, $more ? 'more' : $least + $optional);
}


sub directives {
    my ($commands, %documented) = @_;

    my @problems;
    my %in_code;

    for my $command (@$commands) {
        my $name = $command->{name};
        my $d = $documented{$name};

        $in_code{$name} = 1;

        if (!$d) {
            push @problems, "$name: not documented";
            next;
        }

        push @problems, map { "$name: $_" }
            check_context($command, $d), check_arguments($command, $d),
            check_default($command, $d);
    }

    push @problems, map { "$_: not in the code" }
        grep { !$in_code{$_} } sort keys %documented;

    return @problems;
}


sub check_context {
    my ($command, $d) = @_;

    my $code = join ', ', map { $contexts{$_} // () } @{ $command->{flags} };
    my $docs = join ', ', @{ $d->{context} };

    return $code eq $docs ? () : "context is \"$code\", not \"$docs\"";
}


sub check_arguments {
    my ($command, $d) = @_;

    my @allowed = map { @{ $arguments{$_} || [] } } @{ $command->{flags} };
    my %flags = map { $_ => 1 } @{ $command->{flags} };
    my (@least, @most);

    for my $syntax (@{ $d->{syntax} }) {
        my ($error, $least, $most) = syntax_arguments($command->{name},
                                                      $syntax);

        return $error if $error;
        return 'arguments: a block, or not?'
            if !$flags{NGX_CONF_BLOCK} != $syntax !~ /\{ \.\.\. \}$/;

        push @least, $least;
        push @most, $most;
    }

    my ($least) = sort { $a <=> $b } @least;

    return "arguments: at least $allowed[0], not $least"
        if $least != $allowed[0];

    # how many more is up to the handler then

    return () if $allowed[-1] eq 'more';

    return grep({ $_ eq 'more' || $_ > $allowed[-1] } @most)
           ? "arguments: at most $allowed[-1]" : ();
}


sub check_default {
    my ($command, $d) = @_;

    my $name = $command->{name};
    my $docs = $d->{default};
    my $value;

    if (defined $command->{field} && $docs eq '—') {
        my $field = $command->{field} =~ s/$merged_by_client//r;

        return () if ($defaults->{$field} // '') eq 'NULL';
    }

    if (defined $command->{field}) {
        $value = $defaults->{$command->{field} =~ s/$merged_by_client//r};
        return "default of $command->{field} is not in the code"
            if !defined $value;

    } elsif ($computed{$name}) {
        ($value) = $all =~ $computed{$name};
        return 'default is not in the code any more' if !defined $value;
    }

    if (!defined $value) {
        return $docs eq '—' ? () : "default is none, not \"$docs\"";
    }

    $value = $enums->{$value} // number($value =~ s/^"(.*)"$/$1/r);
    $value = $value ? 'on' : 'off'
        if grep { $_ eq 'NGX_CONF_FLAG' } @{ $command->{flags} };

    my ($word) = $docs =~ /^$name (\S+?)(?: .*)?;$/;

    return "default is $value, not \"$docs\""
        if !defined $word || !meanings($word)->{$value};

    return ();
}


sub order {
    my @names = @_;
    my @sorted = sort @names;

    return map { $names[$_] eq $sorted[$_] ? () : "$names[$_] stands wrong" }
           0 .. $#names;
}


sub links {
    my ($text) = @_;

    my %there = map { lc(s/ /-/gr) => 1 } $text =~ /^#+ (.+)$/gm;

    my @problems = map { $there{$_} ? () : "#$_: no such section" }
                   $text =~ /\]\(#([\w-]+)\)/g;

    push @problems, map { length text("docs/$_") ? () : "$_: no such page" }
                    $text =~ /\]\((\w[\w.]*\.md)\)/g;

    return @problems;
}


# "name=" of redis and kafka_queue, methods of auth

sub parameters {
    my ($text) = @_;

    my %documented = documented($text);
    my @problems;

    my ($redis) = $all =~ /ngx_mqtt_redis_params\[\]\ =\ \{(.*?)\};/s;
    my ($queue) = $all =~ /^ngx_mqtt_kafka_queue_parameter\(.*?^\}/ms
                  ? $& : '';
    my ($methods) = $all =~ /ngx_mqtt_auth_methods\[\]\ =\ \{(.*?)\};/s;

    my %known = (
        redis       => [ $redis =~ /redis_param\((\w+)\)/g ],
        kafka_queue => [ $queue =~ /data, "(\w+)="/g ],
    );

    for my $name (sort keys %known) {
        my $section = ($documented{$name} || {})->{text} // '';

        my %code = map { $_ => 1 } @{ $known{$name} };
        my %docs = map { $_ => 1 } $section =~ /[`\[](\w+)=/g;

        push @problems, "$name: no parameters found" if !%code;
        push @problems, map { "$name: parameter $_ is not documented" }
            grep { !$docs{$_} } sort keys %code;
        push @problems, map { "$name: parameter $_ is not in the code" }
            grep { !$code{$_} } sort keys %docs;
    }

    my %code = map { $_ => 1 } $methods =~ /ngx_string\("(\w+)"\)/g;
    my %docs = map { /^auth (\w+)/ ? ($1 => 1) : () }
               @{ ($documented{auth} || {})->{syntax} || [] };

    push @problems, map { "auth: method $_" }
        grep { !$code{$_} || !$docs{$_} } sort keys %{ { %code, %docs } };

    return @problems;
}


# what a listener of stream can set, a location of http can too

sub client_settings {
    my %fields = map {
        my $room = $_;

        $room => { map { ($_->{field} // '') =~ $merged_by_client
                         ? ("$_->{name} $_->{field}" => 1) : () }
                   commands(qr{/$room/}) };
    } qw/ stream http /;

    # in http there are locations

    my %not = map { $_ => 1 } 'mqtt_websocket client.websocket',
                              'mqtt_websocket_path client.websocket_path';

    return (
        map({ $fields{http}{$_} || $not{$_} ? () : "$_: not in http" }
            sort keys %{ $fields{stream} }),
        map({ $fields{stream}{$_} ? () : "$_: not in stream" }
            sort keys %{ $fields{http} }),
        keys %{ $fields{http} } > 10 ? () : 'too few',
    );
}


sub variables {
    my ($text) = @_;

    my ($table) = $all =~ /ngx_stream_mqtt_vars\[\]\ =\ \{(.*?)\};/s;
    my ($http) = $all =~ /ngx_http_mqtt_vars\[\]\ =\ \{(.*?)\};/s;
    my ($section) = $text =~ /^## Embedded Variables\n(.*?)(?=^## |\z)/ms;

    my %code = map { $_ => 1 } $table =~ /ngx_string\("(\w+)"\)/g;
    my %http = map { $_ => 1 } $http =~ /ngx_string\("(\w+)"\)/g;
    my @listed = $section =~ /^- `\$(\w+)`/gm;
    my %docs = map { $_ => 1 } @listed;

    return (
        map({ "\$$_: not documented" } grep { !$docs{$_} } sort keys %code),
        map({ "\$$_: not in the code" } grep { !$code{$_} } sort keys %docs),
        map({ "\$$_: not in http" } grep { !$http{$_} } sort keys %code),
        map({ "\$$_: not in stream" } grep { !$code{$_} } sort keys %http),
        order(@listed),
    );
}


# name, kind and text, in the order of the code

sub counters {
    my ($text) = @_;

    my ($table) = $all =~ /define NGX_MQTT_COUNTERS\(X\)(.*?)\n\n/s;

    my %code;
    $code{$1} = lc($2) . " | $3"
        while $table =~ /X\((\w+), (\w+),\s+"([^"]*)"\)/g;

    my %docs;
    $docs{$1} = $2 while $text =~ /^\| `(\w+)` \| (.*) \|$/gm;

    my @problems = map {
        !exists $docs{$_} ? "$_: not documented"
        : $docs{$_} ne $code{$_} ? "$_: is \"$code{$_}\"" : ()
    } sort keys %code;

    push @problems, map { "$_: not in the code" }
        grep { !exists $code{$_} } sort keys %docs;

    return @problems;
}

###############################################################################
