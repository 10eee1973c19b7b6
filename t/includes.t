#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The rooms: #include goes down or stays in its room, libraries stay with the
# room that owns them, and "config" lists what is there.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More tests => 8;

use MqttTest::Source qw/ files text code config_list /;

###############################################################################

my @floors = (
    [ qw/ wire / ],
    [ qw/ base / ],
    [ qw/ redis kafka bus / ],
    [ qw/ session route mapping auth / ],
    [ qw/ gateway / ],
    [ qw/ client / ],
    [ qw/ stream http / ],
);

# mapping/ is built and tested without nginx, like wire/

my %also_not = (mapping => [ qw/ redis kafka bus / ]);

my %owners = (
    qr{^hiredis/}     => [ qw/ redis / ],
    qr{^librdkafka/}  => [ qw/ kafka / ],
    qr{^jansson\.h$}  => [ qw/ http gateway auth / ],
    qr{^jwt\.h$}      => [ qw/ auth / ],
    qr{^ngx_http}     => [ qw/ http / ],
    qr{^ngx_stream}   => [ qw/ stream client / ],
);

my %floor;

for my $i (0 .. $#floors) {
    $floor{$_} = $i for @{ $floors[$i] };
}

my @files = files(qr{^ngx_mqtt_module/.*\.[ch]$});
my %room = map { m{^ngx_mqtt_module/([^/]+)/([^/]+)$} ? ($2 => $1) : () }
           @files;

$room{'ngx_mqtt_redis_lua.h'} = 'redis';

cmp_ok(@files, '>', 0, 'sources were found');

report('every file is in a room', map {
    m{^ngx_mqtt_module/([^/]+)/[^/]+$} && defined $floor{$1} ? () : $_
} @files);

my (@upwards, @foreign, @unknown);

for my $path (@files) {
    my ($own, $name) = $path =~ m{^ngx_mqtt_module/([^/]+)/([^/]+)$} or next;

    # a preprocessor line has no string that code() must keep

    for my $line (split /\n/, text($path)) {
        my ($quote, $file) = $line =~ /^\s*#\s*include\s*([<"])([^>"]+)[>"]/
            or next;

        if ($quote eq '<') {
            for my $re (keys %owners) {
                push @foreign, "$path: <$file>"
                    if $file =~ $re && !grep { $_ eq $own } @{ $owners{$re} };
            }

            push @foreign, "$path: <$file>"
                if $own eq 'wire' && $file =~ /^ngx_/
                   && $name ne 'ngx_mqtt_wire.h';

            next;
        }

        my $room = $room{$file};

        if (!defined $room) {
            push @unknown, "$path: \"$file\"";
            next;
        }

        next if $room eq $own;

        push @upwards, "$path: \"$file\" is in $room/"
            if $floor{$room} >= $floor{$own}
               || grep { $_ eq $room } @{ $also_not{$own} || [] };
    }
}

report('includes go down', @upwards);
report('libraries stay in their rooms', @foreign);
report('included files exist', @unknown);

# who declares a function of another room by itself hides an #include

report('no declarations of one\'s own', map {
    my $path = $_;
    my $i = 0;

    map { $i++; /^extern\b/ ? "$path:$i" : () } code($path);
} grep { /\.c$/ } @files);

my @listed = map { config_list($_) } qw/ mqtt_core_srcs mqtt_stream_srcs
                                         mqtt_http_srcs mqtt_deps /;

compare('config lists the C files that are there',
        [ map { config_list($_) } qw/ mqtt_core_srcs mqtt_stream_srcs
                                      mqtt_http_srcs mqtt_deps / ],
        \@files);

compare('config lists the Lua scripts that are there',
        [ config_list('mqtt_lua_srcs') ],
        [ files(qr{^ngx_mqtt_module/.*\.lua$}) ]);

###############################################################################

sub report {
    my ($name, @wrong) = @_;

    ok(!@wrong, $name) or diag(join "\n", @wrong);
}


sub compare {
    my ($name, $listed, $there) = @_;

    my %count;

    $count{$_}++ for @$listed;
    $count{$_}-- for @$there;

    report($name, map {
        "$_: " . ($count{$_} > 0 ? 'listed, not there, or listed twice'
                                 : 'there, not listed')
    } grep { $count{$_} } sort keys %count);
}
